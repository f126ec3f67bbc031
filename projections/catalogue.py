"""Every view that a node keeps, in the order in which they are folded."""

from projections.authority import Authority
from projections.board_fold import Board
from projections.case_fold import Cases
from projections.duty_fold import Duties
from projections.projection import Projection

PROJECTIONS: tuple[Projection, ...] = (Authority(), Cases(), Duties(), Board())
