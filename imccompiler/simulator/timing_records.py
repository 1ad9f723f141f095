"""The records in the memory of the timing kernel: their fields as offsets from their address.

Compiled into `timing_kernel.py`: numba notices changes of that file only, so after a change here
its cached code (`__pycache__/timing_*.nb*`) must be deleted.
"""

from __future__ import annotations

from imccompiler.program.isa import AUX, COLUMNS, MAX_LOOP_DEPTH, REGISTERS

NEVER = 1 << 62  # a time that is not known yet
TIME_BITS = 62  # of an event, its actor included
NOTHING = 0  # the address of no record
EVENTS = 32  # counted events of a core

# status of `run`
FINISHED, MORE_ITEMS, MORE_LOG, NO_WIDTHS, TOO_LONG = range(5)

# the header
CORES, CORE_COUNT, CORE_SIZE, GROUPS, GROUP_COUNT, ACTOR_BITS, SPANS_PS, IMAGE_ENDS_PS = range(8)
IMAGES, HEAP, HEAP_SIZE, FREE_ITEM, FREE_ITEMS, GLOBAL_FREE_PS, LOG, LOG_END = range(8, 16)
FAULT, HEADER_SIZE = range(16, 18)

# a core: what does not change, its streams and units, and arrays
NUMBER, PERIOD_PS, ROB_SIZE, ORDERS_WRITES, FIRST, END = range(6)
PC, DECODED, DECODED_IMAGE, IMAGE, PAIR, DEPTH, BLOCK = range(6, 13)
ROB_HEAD, ROB_COUNT, LEFT_PS, LAST_COMMIT_PS, PORT_FREE_PS = range(13, 18)
LATCH_SLOT, LATCH_PS, VECTOR_SLOT, VECTOR_FREE_PS, TRANSFER_SLOT, TRANSFER_FREE_PS = range(18, 24)
SWITCH_FREE_PS, ITEM_FIRST, ITEM_LAST, RECEIVE_FROM, READY_AT = range(24, 29)
WAIT_EVENT, WAIT_COUNT, BUSY_PS = range(29, 32)  # three busy times

# values of BLOCK beside the address of an operation in flight
ON_VECTOR, ON_TRANSFER, ON_LATCH = range(1, 4)
NO_EVENT = -1

# an operation, waiting for dispatch or in flight: ranges are first and last byte
INSTRUCTION, ROW, OP_IMAGE, START_PS, DONE_PS = range(5)
READ1, READ1_END, READ2, READ2_END, WRITE, WRITE_END, ENTRY_SIZE = range(5, 12)

REGISTER = BUSY_PS + 3
RAISED = REGISTER + REGISTERS
LOOPS = RAISED + EVENTS
LOOP_FIRST, LOOP_END, LOOP_LEFT, LOOP_SIZE = range(4)
PENDING = LOOPS + MAX_LOOP_DEPTH * LOOP_SIZE
ROB = PENDING + ENTRY_SIZE  # `rob_size` operations; the cores' records are as long as the longest

# a crossbar group; SHARING: a list of the groups that share a crossbar, itself included
GROUP_CORE, GROUP_SLOT, GROUP_FREE_PS, SHARING, SHARING_END, GROUP_SIZE = range(6)

# an instruction: its columns; its row of costs for no width pair; TARGET: of `mvmul` and `mvwr`
# the group, of messages the other core, of `wait` the count, of `setbw` the offset of its pair's
# row; how often it was run. What `aux` says of the other core stands in TARGET: FLIT_PS takes its
# place, the latency of a flit to there
FLIT_PS = AUX
COST_ROW, TARGET, RUNS, INSTRUCTION_SIZE = range(len(COLUMNS), len(COLUMNS) + 4)

# a row of costs; FROM: the column of a register, or AT_ZERO; EXTENT: what to add for the last
# byte of the range, or NO_RANGE; how often the row was used
READ_PS, COMPUTE_PS, WRITE_PS, TRAVEL_PS, FLITS, GLOBAL_PS = range(6)
READ1_FROM, READ1_EXTENT, READ2_FROM, READ2_EXTENT, WRITE_FROM, WRITE_EXTENT = range(6, 12)
ROW_RUNS, COST_SIZE = range(12, 14)
AT_ZERO = -1
NO_RANGE = -1

# an item in a switch, and its kinds
KIND, PEER, AMOUNT, ARRIVAL_PS, NEXT, ITEM_SIZE = range(6)
READY, GO, DATA, EVENT, GLOBAL = range(5)

MATRIX_UNIT, VECTOR_UNIT, TRANSFER_UNIT = range(3)
LOG_CORE, LOG_UNIT, LOG_INSTRUCTION, LOG_START_PS, LOG_END_PS, LOG_SIZE = range(6)
