"""Every view that a node keeps."""

from projections.board_fold import Board
from projections.case_fold import Cases
from projections.duty_fold import Duties
from projections.projection import Projection

PROJECTIONS: tuple[Projection, ...] = (Cases(), Duties(), Board())
