import os

block = memoryview(b"0123456789abcdef" * 65536)
left = 1024 * 1024 * 1024
while left > 0:
    left -= os.write(1, block[: min(left, len(block))])
