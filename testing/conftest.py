"""Settings for all tests."""

import os

# deltalake 1.2 logs a warning for each file that it does not read to the end. These may
# be 70,000 lines per second. The variable must be set before deltalake is imported.
os.environ.setdefault("RUST_LOG", "off")
