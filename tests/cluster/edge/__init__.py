"""The edge on its own: gateway, policies and routes of a release, and pods behind them that say what reached them."""
