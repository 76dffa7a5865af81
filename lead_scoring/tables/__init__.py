"""Files of leads as people have them, CSV or Parquet, and their cells as the contract's features see them."""
