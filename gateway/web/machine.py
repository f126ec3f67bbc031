"""What machines ask a node: is it alive, is it ready, its metrics, its published policy and its certificate."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.hosting.status import NodeStatus, WitnessStatus
from gateway.node import Node
from gateway.refusals import Refusal
from gateway.web.model import REFUSALS
from sync.ledger.connections import connect

READY_WAIT_S: Final = 2

router = APIRouter(responses=REFUSALS)

_TEXT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Plain text", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


class NotReady(Refusal):
    """The node runs, but its database does not answer. Wait, and look at the database if it lasts."""

    code = "not_ready"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "节点尚未就绪：数据库没有应答，请稍后再试",
            "the node is not ready: its database does not answer; try again later",
            retry_after_s=5,
        )


class NodeStopped(Refusal):
    """A part of the node has stopped for the reason named, and the process ends. Mend that; it is started again."""

    code = "node_stopped"
    status = 503

    def __init__(self, failure: str) -> None:
        super().__init__(
            f"节点的一个部分已停止，进程即将结束：{failure}",
            f"a part of the node has stopped and the process is ending: {failure}",
        )


@router.get("/healthz", responses=_TEXT, response_class=PlainTextResponse)
def healthz() -> str:
    """The process answers."""
    return "ok\n"


@router.get("/readyz", responses=_TEXT, response_class=PlainTextResponse)
def readyz(request: Request) -> str:
    """No part has stopped, the clock is believed, the database answers: commands can be recorded. 503 otherwise."""
    node: Node = request.app.state.node
    if node.failure is not None:
        raise NodeStopped(node.failure)
    node.clock.sure_us()
    try:
        connect(node.dsn, connect_s=READY_WAIT_S).close()
    except psycopg.OperationalError as error:
        raise NotReady from error
    return "ready\n"


@router.get("/metrics", responses=_TEXT, response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Prometheus metrics of this process and its node."""
    return Response(generate_latest(request.app.state.node.metrics), media_type=CONTENT_TYPE_LATEST)


@router.get("/policy", responses=_TEXT, response_class=PlainTextResponse)
def policy(request: Request) -> str:
    """The tlog-policy that this node publishes for its log: what `huiyin verify receipt --policy` takes."""
    text: str = request.app.state.node.policy()
    return text


@router.get("/certificate", responses=_TEXT, response_class=PlainTextResponse)
def certificate(request: Request) -> str:
    """The certificates from the root of the tree down to this node."""
    text: str = request.app.state.node.certificate()
    return text


class NodeGauges(Collector):
    """The node's own state, read when the metrics are asked for."""

    def __init__(self, status: Callable[[], NodeStatus]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        """Nothing: a registry that asks must not start a query."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One gauge per number of the status."""
        status = self._status()
        for name in (
            "log_size",
            "ledger_size",
            "cosigned_size",
            "secured_size",
            "lag",
            "quarantined",
            "projection_lag",
            "clock_skew_s",
            "certificate_ends_us",
        ):
            yield GaugeMetricFamily(f"huiyin_{name}", f"The node's {name}", value=getattr(status, name))
        yield from _of_witnesses(status.witnesses)
        doubted = int(status.clock_doubt is not None)
        yield GaugeMetricFamily("huiyin_clock_doubt", "1 while the machine's clock is not believed", value=doubted)


def _of_witnesses(witnesses: Sequence[WitnessStatus]) -> Iterator[Metric]:
    size = GaugeMetricFamily("huiyin_witness_cosigned_size", "Own events that it has cosigned", labels=["witness"])
    signed = GaugeMetricFamily("huiyin_witness_cosigned_us", "Time of its last cosignature", labels=["witness"])
    late = GaugeMetricFamily("huiyin_witness_late", "1 once it has missed two cosignatures", labels=["witness"])
    for one in witnesses:
        size.add_metric([one.name], one.cosigned_size)
        signed.add_metric([one.name], one.signed_us)
        late.add_metric([one.name], int(one.is_late))
    yield from (size, signed, late)
