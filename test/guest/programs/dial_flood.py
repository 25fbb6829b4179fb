import socket

dialed = 0
for _ in range(20_000):
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.connect("/run/paddock/host.sock")
            dialed += 1
    except OSError:
        pass
print("dialed", dialed, flush=True)
while True:
    pass
