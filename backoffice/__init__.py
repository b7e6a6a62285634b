"""The other end of the feed: stock of any number of gateways, acknowledged end to end. Never in the daemon."""
