"""What a network is given of a clip, one file each, found by its name on the network's card.

An input has `shape(config)`, `length(config)`, `min_samples(config)`, `dtype`, and `made(wave, config, scale)`;
`waves`, `spectrogram` and `normalised` say what of it a network sees.
"""
