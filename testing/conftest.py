"""What holds for all tests."""

import os

# deltalake 1.2 logs a warning for each file it stops reading early: 70,000 lines a
# second. Set before it is imported.
os.environ.setdefault("RUST_LOG", "off")
