"""Checks whether the API responds, for Docker's HEALTHCHECK. Exits with 0, or with 1
and a message with the reason.
"""

import os
import sys
from urllib.request import urlopen

try:
    with urlopen(
        f"http://127.0.0.1:{os.environ.get('LAKEKIT_API_PORT', '8080')}/healthz",
        timeout=2,
    ):
        pass
except OSError as error:
    sys.exit(str(error))
