"""What all tests need of the process that they run in."""

import signal

# A shell starts what it sends to the background with interrupts ignored, and a program inherits
# that: tests that interrupt a run would wait for one that never stops.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
