"""Real browsers before local stand-ins: what the behaviour tests and the demo drive.

A purchase is watched from both ends: a :mod:`browser <tools.engines.browser>` (Chromium, Firefox
or WebKit) does what a visitor does, and the :mod:`web <tools.engines.fake_web>` records, byte for
byte, what it asked the shop and Stripe for. Both live in a :mod:`sandbox <tools.engines.sandbox>` from
which no request gets out, so ``https://buy.stripe.com`` can be tested under its own name.
"""
