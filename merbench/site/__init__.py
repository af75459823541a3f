"""A board goes in, its page of HTML and the files of the published board come out."""
