"""Whether the API answers, for Docker's HEALTHCHECK: an exit code, and the reason where
it does not.
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
