"""What a model is to the rest of the package: its capabilities, its tags, the data it is fitted on, and how it is called.

Shape letters, everywhere in this package:
    N images or rows, B of them in a batch, n samples;  K classes;  D = C H W values of one image, or columns of a table;
    C channels, H height, W width;  L gray levels;  Z dimensions of a latent vector.

Arrays are torch tensors: x float32 in [0, 1], (N, C, H, W) for images and (N, D) for tables; y int64 in 0..K-1. A model is a
`torch.nn.Module` with a method `build(spec)` that creates its layers and buffers, or it holds one scikit-learn `estimator`.
Random numbers come from the global generators, which the caller seeds (`seeding.seed_everything`).
"""
