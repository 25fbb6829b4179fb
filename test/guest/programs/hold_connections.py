import socket
import time

held = []
for _ in range(200):
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.connect("/run/paddock/host.sock")
        held.append(one)
    except OSError:
        one.close()
print("held", len(held), flush=True)
time.sleep(30)
