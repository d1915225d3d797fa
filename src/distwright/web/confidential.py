"""Whether anybody on the way can read along: tokens are taken over TLS, or from this machine."""

from ipaddress import ip_address

from starlette.requests import Request

_OF_PROXIES = ("forwarded", "via", "x-forwarded-", "x-real-ip")


def is_confidential(request: Request) -> bool:
    """Say whether nobody on the way can read along, as far as it shows: TLS up to us or to the proxy before us, or this machine.

    A proxy on this machine that neither says what it is nor gives itself away cannot be told from a client here.
    """
    if request.url.scheme == "https":
        return True
    # A proxy without TLS, or one that does not say. nginx before 1.29.7 asks by HTTP/1.0, and by default says nothing else.
    if any(name.startswith(_OF_PROXIES) for name in request.headers) or request.scope.get("http_version") == "1.0":
        return False
    host = request.client.host if request.client else ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
