const NO_PAUSE = "bubblewrap has nothing that stops a sandbox where it is";
const OWN_KERNEL = "gVisor counts its guest's processes itself, and tells the host of no fork that it refuses";
const STREAM_ENDS = "over standard streams the channel ends with the owner, and the sandbox with the channel";
const DIES_WITH_OWNER = "a bubblewrap sandbox ends with its owner";

const POLLED =
  "Podman's workspaces are folders: their size is looked at every second, and too large a one ends the sandbox";
const OWN_HOSTS = "Podman copies the host's /etc/hosts, and with it the host's name";

/** Every check that a driver of ours leaves out, with the reason. Under CI one that is not listed fails. */
export const SKIPS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bubblewrap: {
    "what is paused uses no cpu, and goes on where it was": NO_PAUSE,
    "a paused sandbox can be killed and destroyed": NO_PAUSE,
    "a sandbox outlives its owner and goes on under the next, with its processes and files": DIES_WITH_OWNER,
    "of two adopters one gets the sandbox": DIES_WITH_OWNER,
    "what has a living owner, or does not exist, is not adopted": DIES_WITH_OWNER,
    "a volume is in use while a sandbox lives that outlived its owner": DIES_WITH_OWNER,
  },
  podman: {
    "workspace: writing ends at its size with no space left": POLLED,
    "nothing of the host shows: files, mounts, processes, kernel settings": OWN_HOSTS,
  },
  "docker+runsc": { "pids: the host's counter shows refused forks": OWN_KERNEL },
  "docker+runsc-stdio": {
    "pids: the host's counter shows refused forks": OWN_KERNEL,
    "a sandbox outlives its owner and goes on under the next, with its processes and files": STREAM_ENDS,
    "of two adopters one gets the sandbox": STREAM_ENDS,
    "what has a living owner, or does not exist, is not adopted": STREAM_ENDS,
    "a volume is in use while a sandbox lives that outlived its owner": STREAM_ENDS,
  },
};
