blocks = []
while True:
    blocks.append(bytearray(b"x" * (8 * 1024 * 1024)))
