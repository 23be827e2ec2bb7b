"""Files of unknown origin: readers that follow no links, run no pickles, and check every size before they allocate anything."""
