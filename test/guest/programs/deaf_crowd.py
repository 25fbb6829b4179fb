import os
import signal
import time

for _ in range(60):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            while True:
                time.sleep(1)
        os._exit(0)
print("crowd", flush=True)
while True:
    time.sleep(1)
