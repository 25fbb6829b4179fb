import threading

print("spinning", flush=True)
for _ in range(4):
    threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()
