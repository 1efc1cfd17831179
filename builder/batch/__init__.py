"""Many images: the list, the processes that build them, and the report.

One image's failure is no other's. A process that builds runs nothing but this program, gets its job as JSON, and ends
when nobody wants its disk any more, whatever scheduler has put it wherever.
"""
