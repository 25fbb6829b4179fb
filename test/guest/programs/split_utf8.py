import os
import time

for byte in "grün € 🐎 ende".encode():
    os.write(1, bytes([byte]))
    time.sleep(0.002)
os.write(2, b"bad \xff byte")
