"""Forms in which a network gets a clip: one file each, found by its name on the network's card.

An input has `shape(config)`, `length(config)`, `min_samples(config)`, `dtype`, and `made(wave, config, scale)`.
`waves`, `spectrogram` and `normalised` say whether it is a waveform, whether the network sees a spectrogram, and
whether 0 is its mean. With `takes_lengths = True`, `made` also gets how many samples of each clip are the recording's
own, before zeros or repetitions fill it up (`short`).
"""
