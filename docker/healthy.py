"""Checks whether the API responds, for Docker's HEALTHCHECK. Exits with 0 if the API
responds. Otherwise, prints the reason and exits with 1.
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
