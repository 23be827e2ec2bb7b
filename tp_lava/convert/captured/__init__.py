"""What a PyTorch module's forward does, layers and functions alike: a run is traced, and one step of it becomes a graph of stages.

spikes = self.lif(F.avg_pool2d(self.conv(x), 2) + x)        additions, concatenations, factors, poolings, selections, maps
"""
