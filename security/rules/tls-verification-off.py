import ssl

import requests


def fetch(url, authority):
    # ruleid: tls-verification-off
    requests.get(url, verify=False, timeout=10)
    context = ssl.create_default_context()
    # ruleid: tls-verification-off
    context.check_hostname = False
    # ruleid: tls-verification-off
    context.verify_mode = ssl.CERT_NONE
    # ok: tls-verification-off
    requests.get(url, verify=authority, timeout=10)
    # ok: tls-verification-off
    requests.get(url, timeout=10)
