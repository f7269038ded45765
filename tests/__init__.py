"""The tests, by what they need to run.

Without any other program (``make test-unit``):

- ``unit``: one module each, in folders that mirror ``sidecar``. Peers are in the test's process.
- ``property``: what holds for generated input.
- ``attacks``: requests and tokens that must be refused, through the whole check.

With real programs:

- ``keys``, ``rings``, ``session``: the modules of that name with a real OpenBao, OpenID provider or
  key server in place of the peers that ``unit`` plays.
- ``wire``: real gRPC and HTTP clients against the listeners.
- ``e2e``, ``abuse``: whole pods and gateways with a real Envoy.
- ``install``: the locks and what ``make`` asks for.

``support`` has what they share: fixtures, counterparts, and the programs they start.
"""
