import socket
import sys

port = int(sys.argv[1])
reached = []


def attempt(name, family, kind, address, protocol=0):
    try:
        with socket.socket(family, kind, protocol) as one:
            one.settimeout(1)
            one.connect(address)
            reached.append(name)
    except (OSError, OverflowError) as error:
        print("refused", name, error)


attempt("host loopback", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))
attempt("public address", socket.AF_INET, socket.SOCK_STREAM, ("1.1.1.1", 443))
attempt("metadata service", socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80))
attempt("v6", socket.AF_INET6, socket.SOCK_STREAM, ("2606:4700:4700::1111", 443))
attempt("vsock", 40, socket.SOCK_STREAM, (2, 22))
attempt("packet", 17, socket.SOCK_RAW, ("lo", 0))
attempt("raw", socket.AF_INET, socket.SOCK_RAW, ("127.0.0.1", 0), 1)
attempt("docker", socket.AF_UNIX, socket.SOCK_STREAM, "/var/run/docker.sock")
try:
    socket.getaddrinfo("example.com", 443)
    reached.append("resolver")
except OSError as error:
    print("refused resolver", error)
print("REACHED", reached)
