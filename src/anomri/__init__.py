"""anomri: is this MRI scan normal, why not, and where not."""
