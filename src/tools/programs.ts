import { PYTHON, SUPERVISOR_DIR } from "../model/guest-paths.ts";

/** Runs one of images/supervisor/tools inside, isolated from what the workspace and environment say to Python. */
export function programArgv(program: "http_client.py" | "install_packages.py" | "upload.py"): readonly string[] {
  return [PYTHON, "-I", "-B", `${SUPERVISOR_DIR}/tools/${program}`];
}
