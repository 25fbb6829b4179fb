import os

os.symlink("/etc/shadow", "shadow")
os.symlink("/proc/self/fd/3", "descriptor")
os.symlink("/proc/1/root", "root")
os.symlink("../../../../..", "up")
os.symlink("/", "slash")
os.mkfifo("pipe")
os.makedirs("deep")
os.symlink("/tmp", "deep/tmp")
print("planted")
