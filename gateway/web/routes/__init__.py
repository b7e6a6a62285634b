"""The pages, by what a person wants: the counter, the shop, care of the box, and what is pressed."""
