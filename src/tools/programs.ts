/** Where the supervisor's folder is mounted inside, read-only. */
const PROGRAM_FOLDER = "/opt/paddock/supervisor/tools";

/** Runs one of images/supervisor/tools inside, isolated from what the workspace and environment say to Python. */
export function programArgv(program: "http_client.py" | "install_packages.py" | "upload.py"): readonly string[] {
  return ["/usr/bin/python3", "-I", "-B", `${PROGRAM_FOLDER}/${program}`];
}
