"""Files for hosts and web servers that set the click id's cookie by a ``Set-Cookie`` header."""
