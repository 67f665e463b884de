"""What every part of anomri speaks: geometry, scans, regions, histories, readings, heatmaps, results. No I/O."""
