"""Trust policies: what they say, what they refuse to say, and checkpoints held against them."""

import pytest

from sync.proofs.note import COSIGNATURE_V1, ED25519, Checkpoint, Ed25519Signer, Note, NoteInvalid, cosign, sign_note
from sync.proofs.policy import PolicyInvalid, QuorumMissing, check_checkpoint, format_policy, parse_policy

ORIGIN = "huiyin.example/410221100201/1"
LOG = Ed25519Signer(ORIGIN, ED25519, b"L" * 32)
INTAKE = Ed25519Signer("huiyin.example/410221100201/intake", ED25519, b"I" * 32)
TOWN, COUNTY, AUDIT = (
    Ed25519Signer(f"huiyin.example/{name}/witness", COSIGNATURE_V1, name.encode().ljust(32, b"."))
    for name in ("410221100000", "410221000000", "audit")
)
SAME_KEY_AS_LOG = Ed25519Signer("huiyin.example/two-faced", COSIGNATURE_V1, b"L" * 32)
SAME_KEY_AS_TOWN = Ed25519Signer("huiyin.example/alias", COSIGNATURE_V1, b"410221100000".ljust(32, b"."))

TEXT = f"""# who is trusted for the log of one village
log {LOG.verifier.vkey} https://log.example/

witness town {TOWN.verifier.vkey} https://town.example/
witness county {COUNTY.verifier.vkey}
  witness\taudit   {AUDIT.verifier.vkey}\t
group above 1 town county
group both all above audit
quorum both
# huiyin:intake {INTAKE.verifier.vkey}
"""
HEAD = Checkpoint(ORIGIN, 12, b"r" * 32)
BARE = sign_note(HEAD.text(), LOG)


def signed_by(*witnesses: Ed25519Signer) -> Note:
    return BARE.with_lines([cosign(BARE.text, witness, 1_700_000_000) for witness in witnesses])


def test_a_policy_survives_its_text() -> None:
    policy = parse_policy(TEXT)
    assert policy.log == LOG.verifier
    assert policy.intake == INTAKE.verifier
    assert [witness.name for witness in policy.witnesses] == ["town", "county", "audit"]
    assert [(group.name, group.threshold) for group in policy.groups] == [("above", 1), ("both", 2)]
    assert parse_policy(format_policy(policy)) == policy


def test_the_log_and_a_quorum_make_a_checkpoint_good() -> None:
    policy = parse_policy(TEXT)
    for witnesses in ((TOWN, AUDIT), (AUDIT, COUNTY), (TOWN, COUNTY, AUDIT)):
        head, cosigned = check_checkpoint(policy, signed_by(*witnesses))
        assert head == HEAD
        assert [signed.verifier for signed in cosigned] == [witness.verifier for witness in witnesses]
        assert {signed.time_s for signed in cosigned} == {1_700_000_000}


@pytest.mark.parametrize("witnesses", [(), (TOWN,), (TOWN, COUNTY), (AUDIT,)])
def test_too_few_witnesses_are_named(witnesses: tuple[Ed25519Signer, ...]) -> None:
    with pytest.raises(QuorumMissing):
        check_checkpoint(parse_policy(TEXT), signed_by(*witnesses))


def test_one_witness_cannot_stand_for_two() -> None:
    text = TEXT.replace("group above 1 town county\ngroup both all above audit", "group both 2 town county audit")
    twice = Note(BARE.text, (*signed_by(TOWN).signatures, cosign(BARE.text, TOWN, 1_700_000_001)))
    with pytest.raises(QuorumMissing):
        check_checkpoint(parse_policy(text), twice)


def test_witnesses_without_the_log_prove_nothing() -> None:
    cosigned = signed_by(TOWN, COUNTY, AUDIT)
    with pytest.raises(NoteInvalid, match="log itself"):
        check_checkpoint(parse_policy(TEXT), Note(cosigned.text, cosigned.signatures[1:]))


def test_a_checkpoint_of_another_log_is_refused_even_under_this_logs_key() -> None:
    other = sign_note(Checkpoint("huiyin.example/410221100202/1", 12, b"r" * 32).text(), LOG)
    note = other.with_lines([cosign(other.text, witness, 1) for witness in (TOWN, AUDIT)])
    with pytest.raises(NoteInvalid, match="log of this policy"):
        check_checkpoint(parse_policy(TEXT), note)


def test_a_simulated_clock_is_for_those_who_ask_for_it() -> None:
    for line in ("# huiyin:clock simulated\n", "#huiyin:clock simulated\n", "\t#\thuiyin:clock\tsimulated \n"):
        with pytest.raises(PolicyInvalid, match="demonstrations"):
            parse_policy(TEXT + line)
        policy = parse_policy(TEXT + line, accept_simulated_clock=True)
        assert policy.simulated_clock
        assert parse_policy(format_policy(policy), accept_simulated_clock=True) == policy


LOG_BEFORE = Ed25519Signer(LOG.verifier.name, ED25519, b"before the log".ljust(32))
TOWN_BEFORE = Ed25519Signer(TOWN.verifier.name, COSIGNATURE_V1, b"before the town".ljust(32))
INTAKE_BEFORE = Ed25519Signer(INTAKE.verifier.name, ED25519, b"before the intake".ljust(32))
BEFORE = (
    f"# huiyin:log-before {LOG_BEFORE.verifier.vkey} 12\n# huiyin:witness-before town {TOWN_BEFORE.verifier.vkey} 13\n"
    f"# huiyin:intake-before {INTAKE_BEFORE.verifier.vkey}\n"
)


def test_keys_that_others_followed_stay_good_for_what_is_of_their_time() -> None:
    policy = parse_policy(TEXT + BEFORE)
    assert parse_policy(format_policy(policy)) == policy
    assert policy.intakes == [INTAKE.verifier, INTAKE_BEFORE.verifier]
    for size, log, is_good in ((12, LOG_BEFORE, True), (13, LOG_BEFORE, False), (13, LOG, True)):
        old = sign_note(Checkpoint(LOG.verifier.name, size, b"r" * 32).text(), log)
        note = old.with_lines([cosign(old.text, witness, 1) for witness in (TOWN_BEFORE, AUDIT)])
        if is_good:
            assert check_checkpoint(policy, note)[0].size == size
        else:
            with pytest.raises(NoteInvalid, match="log itself"):
                check_checkpoint(policy, note)
        with pytest.raises(NoteInvalid):
            check_checkpoint(parse_policy(TEXT), note)


def test_a_witness_s_key_that_another_followed_counts_up_to_where_it_had_cosigned_and_for_nothing_newer() -> None:
    policy = parse_policy(TEXT + BEFORE)
    for size, is_good in ((12, True), (13, True), (14, False)):
        head = sign_note(Checkpoint(ORIGIN, size, b"r" * 32).text(), LOG)
        note = head.with_lines([cosign(head.text, witness, 1) for witness in (TOWN_BEFORE, AUDIT)])
        if is_good:
            assert [one.verifier for one in check_checkpoint(policy, note)[1]] == [TOWN_BEFORE.verifier, AUDIT.verifier]
        else:
            with pytest.raises(QuorumMissing):
                check_checkpoint(policy, note)


REFUSED = {
    "a key before in another role": TEXT + f"# huiyin:log-before {INTAKE.verifier.vkey} 5\n",
    "a key before without its end": TEXT + f"# huiyin:log-before {LOG_BEFORE.verifier.vkey}\n",
    "a key before nobody": TEXT + f"# huiyin:witness-before city {TOWN_BEFORE.verifier.vkey} 5\n",
    "a witness's key before without its end": TEXT + f"# huiyin:witness-before town {TOWN_BEFORE.verifier.vkey}\n",
    "a witness's key before with no plain end": TEXT + f"# huiyin:witness-before town {TOWN_BEFORE.verifier.vkey} -1\n",
    "empty": "",
    "no quorum": TEXT.replace("quorum both\n", ""),
    "two quorums": TEXT + "quorum town\n",
    "no quorum needed": TEXT.replace("quorum both", "quorum none"),
    "unknown quorum": TEXT.replace("quorum both", "quorum boths"),
    "quorum before its group": "quorum both\n" + TEXT.replace("quorum both\n", ""),
    "cut in the last line": TEXT[:-1],
    "no log": TEXT.replace("log ", "# "),
    "two logs": TEXT + f"log {INTAKE.verifier.vkey}\n",
    "log with a witness's type": TEXT.replace(LOG.verifier.vkey, SAME_KEY_AS_LOG.verifier.vkey),
    "witness with a log's type": TEXT.replace(AUDIT.verifier.vkey, INTAKE.verifier.vkey).replace("# huiyin", "# "),
    "witness with the log's key": TEXT.replace(AUDIT.verifier.vkey, SAME_KEY_AS_LOG.verifier.vkey),
    "one witness under two names": TEXT.replace(AUDIT.verifier.vkey, SAME_KEY_AS_TOWN.verifier.vkey),
    "intake with the log's key": TEXT.replace(INTAKE.verifier.vkey, LOG.verifier.vkey),
    "two intakes": TEXT + f"# huiyin:intake {TOWN.verifier.vkey}\n",
    "unknown own line": TEXT + "# huiyin:clocks simulated\n",
    "other clock": TEXT + "# huiyin:clock real\n",
    "damaged key": TEXT.replace(LOG.verifier.vkey, LOG.verifier.vkey[:-2] + "=="),
    "name taken": TEXT.replace("witness county", "witness town"),
    "group takes a witness's name": TEXT.replace("group above", "group town"),
    "reserved name": TEXT.replace("witness county", "witness none"),
    "unknown member": TEXT.replace("1 town county", "1 town city"),
    "member of itself": TEXT.replace("1 town county", "1 town above"),
    "member of two groups": TEXT.replace("all above audit", "all above audit town"),
    "member twice": TEXT.replace("1 town county", "1 town town"),
    "no members": TEXT.replace("group both all above audit", "group both all"),
    "threshold zero": TEXT.replace("above 1", "above 0"),
    "threshold beyond": TEXT.replace("above 1", "above 3"),
    "threshold with zero before": TEXT.replace("above 1", "above 01"),
    "threshold in other digits": TEXT.replace("above 1", "above １"),
    "unknown word": TEXT + "trust everyone\n",
    "one word too many": TEXT.replace("quorum both", "quorum both audit"),
    "CRLF": TEXT.replace("\n", "\r\n"),
    "NUL": TEXT.replace("# who", "# \0who"),
    "too long": TEXT + "#" * 70_000 + "\n",
    "too many witnesses": TEXT + "group x any town\n" * 100,
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_policy_that_could_mislead_is_refused(case: str) -> None:
    with pytest.raises(PolicyInvalid):
        parse_policy(REFUSED[case])
