"""The parts of ci/bench: inputs, the floor under every time, peers, and what is measured of each of them."""
