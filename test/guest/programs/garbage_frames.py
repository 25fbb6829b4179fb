import os
import socket
import time

for _ in range(50):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        try:
            one.connect("/run/paddock/host.sock")
            one.sendall(bytes([0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0]) + os.urandom(4096))
            one.recv(65536)
        except OSError:
            pass
print("sent", flush=True)
time.sleep(30)
