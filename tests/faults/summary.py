"""Print the table of what `make faults` found: python tests/faults/summary.py build/faults."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.fault_tally import table

print(table(Path(sys.argv[1])))
