"""What all tests need of the process that they run in."""

import signal

# A shell ignores interrupts in what it sends to the background, and `nohup` ignores hangups; a
# program inherits that: tests that stop a run by either would wait for one that never stops.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
