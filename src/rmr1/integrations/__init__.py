"""A pairwise judge as the reward of other people's trainers: one file for each of them.

The judge runs in the trainer's process or, better, as a server (`rmr1 serve`) that all of its processes ask. An answer
without a reward is a failure, told as one: `None` where the trainer knows it, an error where it does not.
"""
