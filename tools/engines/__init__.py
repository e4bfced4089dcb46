"""Real browsers and local stand-ins for servers, for the behaviour tests and the demo.

A purchase is seen from both ends: a :mod:`browser <tools.engines.browser>` (Chromium, Firefox or
WebKit) does what a visitor does, and the :mod:`fake web <tools.engines.fake_web>` records, byte for
byte, what it asks the shop and Stripe for. Both live in a :mod:`sandbox <tools.engines.sandbox>`
that no request leaves, so ``https://buy.stripe.com`` is tested under its own name.
"""
