"""Linear maps at the rate of the memory: weights of 8 and 4 bits, and a kernel that reads any kind."""
