with open("fill.bin", "wb", buffering=0) as out:
    while True:
        out.write(b"x" * 1024 * 1024)
