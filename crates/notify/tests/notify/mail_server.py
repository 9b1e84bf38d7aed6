"""A mail server that keeps what it is sent: one line of JSON a mail, in the file that is named.

Usage: mail_server.py starttls|implicit|plain PORT CERTIFICATE KEY FILE
Whoever is not `nobody@example.org` is taken; who logs in must be `prograde` with the password `let me in`.
"""

import json
import ssl
import sys
import time
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Keep:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == "nobody@example.org":
            return "550 nobody of that name is here"
        if address == "later@example.org":
            return "451 not now"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        kept = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "parts": parts,
            "tls": session.ssl is not None,
            "login": session.auth_data.login.decode() if session.authenticated else None,
            "hello": session.host_name,
        }
        with open(sys.argv[5], "a") as file:
            file.write(json.dumps(kept) + "\n")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"prograde", b"let me in")
    return AuthResult(success=good, handled=good, auth_data=data)


mode, port, certificate, key, file = sys.argv[1:6]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
options = {"authenticator": authenticate, "auth_require_tls": mode == "starttls"}
if mode == "starttls":
    options |= {"tls_context": context, "require_starttls": True}
controller = Controller(
    Keep(), hostname="127.0.0.1", port=int(port), ssl_context=context if mode == "implicit" else None, **options
)
controller.start()
print("ready", flush=True)
while True:
    time.sleep(1)
