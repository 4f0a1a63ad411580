import os
import subprocess


def copy(path):
    # ruleid: subprocess-with-shell
    subprocess.run(f"cp {path} /tmp", shell=True, check=True)
    # ruleid: subprocess-with-shell
    os.system("cp " + path + " /tmp")
    # ok: subprocess-with-shell
    subprocess.run(["cp", path, "/tmp"], check=True)
