"""What leaves the house: model folders to ship, and the tables that describe them."""
