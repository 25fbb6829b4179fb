import os
import sys
import time

children = []
try:
    while True:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)
except BlockingIOError:
    print(f"refused after {len(children)}")
    sys.exit(3)
