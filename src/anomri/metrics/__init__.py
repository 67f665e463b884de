"""How well scores and maps tell abnormal from normal: pure functions, arrays in, floats out."""
