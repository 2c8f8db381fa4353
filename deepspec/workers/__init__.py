"""Many pieces of work of one kind, in processes of this node or on a Dask cluster."""
